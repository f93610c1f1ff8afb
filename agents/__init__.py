"""What routes, remembers and plugs in: strategies and sources as parts of a bigger application.

So far `ragloom.agents.langchain`, retrieval for LangChain apps, and `ragloom.agents.conversation`, what a chat assistant
remembers.
"""
