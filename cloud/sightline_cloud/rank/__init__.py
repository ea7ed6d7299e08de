"""From what the index found to what is answered: ranking stages and the decision's evidence."""
