//! What does the code do? Python source to a fingerprint that layout and names of locals cannot move.
