"""What people read of a study: leaderboards, status, exports, catalogues."""
