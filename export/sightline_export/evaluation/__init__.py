"""What an export is judged by, beyond retrieval: corruptions, collapse, stability, counterfactuals, generations, bars."""
