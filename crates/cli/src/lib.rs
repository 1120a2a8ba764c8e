//! The thrifty command: one file a verb.
