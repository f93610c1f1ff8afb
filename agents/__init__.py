"""What routes, remembers and plugs in: strategies and sources as parts of a bigger application.

So far `ragloom.agents.langchain`, retrieval for LangChain apps; `ragloom.agents.conversation`, what a chat assistant
remembers; `ragloom.agents.sources`, questions routed to the sources that can answer them; `ragloom.agents.tables`,
questions over tables.
"""
