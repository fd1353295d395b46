"""The command `study`: options and printing. May import every other remaining_capacity; nothing imports it."""
