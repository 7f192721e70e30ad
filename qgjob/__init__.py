"""qgjob: the client of the job service, and the shapes it shares with the servers."""

__version__ = "0.1.0"
