"""Places: where what the register knows is kept."""
