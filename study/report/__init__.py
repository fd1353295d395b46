"""Read-only answers from stored studies: status, leaderboard, confirmed results, comparison, export."""
