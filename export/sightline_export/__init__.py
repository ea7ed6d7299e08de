"""From photographs and a recipe to one verified bundle."""
