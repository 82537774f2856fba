//! Sentences of whole cases.
