"""The accounts to pull: the registry, its synchronization with Truto, and the options of each account."""
