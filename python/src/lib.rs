//! The Python skin of Thrifty.
