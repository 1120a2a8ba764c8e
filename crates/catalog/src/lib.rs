//! What is known? Entries, slots, runs and memos.
