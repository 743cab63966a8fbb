//! What the kernel half keeps for each TLS object and each thread inside a TLS library call.
