"""The command `study`: options and printing. May import every other room; nothing imports it."""
