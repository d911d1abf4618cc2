"""Language models: what is asked, by whom it is answered, and how the answer is understood."""
