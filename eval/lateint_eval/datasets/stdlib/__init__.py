"""The demo corpus: documentation of the standard library, and questions with judgements."""
