//! What now? Looks up, runs once, publishes, schedules and explains.
