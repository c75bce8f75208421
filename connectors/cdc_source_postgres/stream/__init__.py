"""The stream: its session, how its messages are read, and the slot and the publication behind it."""
