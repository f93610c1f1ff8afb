"""Short lists of words: what is often a first name, never a name, a nationality, a place.

First names: among the hundred most given to men and women in the United States in the last hundred years (Social
Security Administration), and frequent ones of other languages; without those that are common words as well (Mark,
Grace, Will, May). Short on purpose: a name that is not here is found by what stands around it, or not at all.
"""

from __future__ import annotations

from functools import cache

__all__ = ("DEMONYMS", "FIRST_NAMES", "NOT_NAMES", "STATES", "places")


def _words(text: str) -> frozenset[str]:
    """With `_` for the space inside a name."""
    return frozenset(word.replace("_", " ") for word in text.split())


FIRST_NAMES = _words(
    """
    Aaron Abdul Abdullah Abigail Adam Adrian Agnes Ahmed Aisha Alan Albert Alejandro Alessandro Alex Alexander
    Alexandra Alexis Alfred Ali Alice Alicia Alison Amanda Amelia Amina Amy Ana Anastasia Anders Andre Andrea
    Andreas Andrei Andrew Andy Angela Anita Anja Ann Anna Anne Annette Annie Anthony Antoine Anton Antonio Arjun
    Arthur Ashley Astrid Barbara Beatrice Ben Benjamin Bernard Betty Beverly Björn Bob Boris Bradley Brandon Brenda
    Brian Bruce Bryan Camila Carl Carla Carlos Carmen Carol Caroline Carolyn Catherine Cecilia Charles Charlotte
    Cheryl Chiara Chloe Chris Christina Christine Christopher Claire Clara Claudia Cristina Cynthia Dan Daniel
    Daniela Danielle David Deborah Debra Denise Dennis Derek Diana Diane Diego Dimitri Dmitri Dominik Donald Donna
    Dorothy Douglas Dylan Eduardo Edward Elena Elijah Elisabeth Elizabeth Ellen Emily Emma Emmanuel Enrique Eric
    Erica Erik Ernest Ethan Eugene Eva Evelyn Fatima Felix Fernando Filip Fiona Florian Francesca Francesco Francis
    Frances Francisco Frank Fred Frederik Gabriel Gabriela Gary George Gerald Giovanni Giulia Gloria Gregory
    Guillaume Gustav Hannah Hans Harold Harry Hassan Heather Heidi Helen Helena Helga Henrik Henry Hiroshi Howard
    Hugo Ian Ibrahim Igor Ines Ingrid Irene Isaac Isabel Isabella Ivan Jack Jackson Jacob Jacqueline Jakob James
    Jamie Jan Jane Janet Janice Jason Javier Jean Jeff Jeffrey Jennifer Jeremy Jerry Jesse Jessica Jim Jimmy Joan
    Joanna Johan Johanna Johannes John Johnny Jonas Jonathan Jorge Jose José Josef Joseph Joshua Joyce Juan Judith
    Judy Julia Julian Julie Jürgen Justin Karen Karin Karl Katarina Kate Katherine Kathleen Kathryn Katja Keith
    Kelly Kenneth Kevin Khalid Kim Kimberly Klaus Kristen Kristina Kumar Kyle Lars Laura Lauren Lawrence Lea Leif
    Lena Leo Leon Leonardo Leonor Li Liam Linda Lisa Logan Lorenzo Lori Louis Louise Luc Luca Lucas Lucia Lucy Luis
    Lukas Magdalena Malik Manuel Marco Marcus Maria Marie Marilyn Marina Mario Marko Markus Marta Martha Martin
    Martina Mary Mateo Matthew Matthias Max Maya Megan Mehmet Mei Melissa Mia Michael Michaela Michel Michelle
    Miguel Mike Mikhail Milan Mohamed Mohammad Mohammed Monica Monika Muhammad Nadia Nancy Natalia Natalie Natasha
    Nathan Nicholas Nick Nicola Nicolas Nicole Nikolai Nils Nina Noah Nora Olaf Oleg Olga Oliver Olivia Omar Oscar
    Pablo Pamela Patricia Patrick Paul Paula Pavel Pedro Peggy Peter Petra Philip Philippe Pierre Piotr Priya Rachel
    Rafael Rahul Raj Rajesh Ralph Ramesh Raymond Rebecca Ricardo Richard Robert Roberto Roger Roland Ronald Rosa
    Rosemary Roy Russell Ruth Ryan Sabine Salma Sam Samantha Samir Samuel Sandra Sanjay Sara Sarah Scott Sean
    Sebastian Sergei Sergio Sharon Shirley Simon Sofia Sonia Sophia Sophie Stefan Stephanie Stephen Steve Steven
    Sunita Susan Svetlana Sven Tatiana Teresa Theodore Theresa Thomas Tim Timothy Tina Tom Tomas Tyler Ursula
    Valentina Vanessa Vera Veronica Victor Victoria Viktor Vincent Vladimir Walter Wanda Wei Wendy Werner William
    Wolfgang Xavier Yan Yasmin Yuki Yusuf Yvonne Zachary Zainab Zoe
    """
)

NOT_NAMES = _words(
    """
    A About According Account Address After Agent All Also Although Am An And Answer Any Are As Assistant At Be
    Because Been Before Best Bot But By Call Can Card Chapter City Client Company Contact Could Customer Date Day
    Dear Did Do Does Each Email English Even Every Everything Figure For From Get Give Go God Good Great Had Happy
    Has Have He Hello Help Her Here Hi His Home How However I If Im In Internet Is It Its January February March
    April May June July August September October November December Just Know Last Let Like Little Looking Many May
    Me Meeting Miss Mission Monday More Most Mr Mrs Ms Dr Prof My Name No Not Note Now Number Of Office Oh Ok
    Okay On Once One Only Or Order Other Our Page Part Payment Personal Phone Please Possible Question Really
    Regards Report Saturday Section See She Should Sincerely Sir Since So Some Something Sorry Statement Still Such
    Sunday Sure Table Take Tell Thank Thanks That The Their Then There These They This Those Though Three Thursday
    Today Tomorrow Tuesday Two Under University Until Update Use User Very Was We Website Wednesday Welcome Well
    Were What When Where Whether Which While Who Why Will With Within Without Would Yes Yesterday You Your
    """
)

DEMONYMS = _words(
    """
    Afghan African Albanian Algerian American Angolan Arab Argentine Argentinian Armenian Asian Australian Austrian
    Azerbaijani Bangladeshi Belarusian Belgian Bolivian Bosnian Brazilian British Bulgarian Cambodian Cameroonian
    Canadian Chilean Chinese Colombian Croatian Cuban Cypriot Czech Danish Dutch Ecuadorian Egyptian English
    Estonian Ethiopian European Filipino Finnish French Georgian German Ghanaian Greek Greenlandic Guatemalan
    Haitian Hungarian Icelandic Indian Indonesian Iranian Iraqi Irish Israeli Italian Jamaican Japanese Jordanian
    Kazakh Kenyan Korean Kurdish Kuwaiti Latvian Lebanese Libyan Lithuanian Malaysian Mexican Moroccan Nepalese
    Nigerian Norwegian Pakistani Palestinian Peruvian Polish Portuguese Romanian Russian Saudi Scottish Senegalese
    Serbian Singaporean Slovak Slovenian Somali Spanish Sudanese Swedish Swiss Syrian Taiwanese Thai Tunisian
    Turkish Ukrainian Venezuelan Vietnamese Welsh Yemeni Buddhist Catholic Christian Hindu Jewish Muslim Protestant
    Sikh Democrat Republican
    """
)

STATES = _words(
    """
    Alabama Alaska Arizona Arkansas California Colorado Connecticut Delaware Florida Hawaii Idaho Illinois Indiana
    Iowa Kansas Kentucky Louisiana Maine Maryland Massachusetts Michigan Minnesota Mississippi Missouri Montana
    Nebraska Nevada New_Hampshire New_Jersey New_Mexico New_York North_Carolina North_Dakota Ohio Oklahoma Oregon
    Pennsylvania Rhode_Island South_Carolina South_Dakota Tennessee Texas Utah Vermont Virginia West_Virginia
    Wisconsin Wyoming England Scotland Wales
    """
)

_AREAS = ("Africa", "America", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")


@cache
def places() -> frozenset[str]:
    """Countries (in English, of phonenumbers), the states above, and the cities that time zones are named after."""
    from zoneinfo import available_timezones

    from phonenumbers.geodata.locale import LOCALE_DATA

    countries = set()
    for names in LOCALE_DATA.values():
        name = names.get("en", "")
        countries.add(names[name[1:]] if name.startswith("*") else name)  # *aa: as in that language
    zones = [zone.split("/") for zone in available_timezones()]
    cities = {zone[1].replace("_", " ") for zone in zones if len(zone) == 2 and zone[0] in _AREAS}
    cities -= FIRST_NAMES | {"North", "South", "West"}  # time zones of Australia
    known = {name for name in (*countries, *cities, *STATES) if len(name) > 3} | {"USA", "UK"}
    return frozenset(known | {name.upper() for name in known if len(name) > 3})
