"""From values to text for a terminal. Pure, but for the screens that write."""
