//! What the kernel half keeps for each socket, and what the user half may tell it about one.
