"""How well and how fast indexes retrieve: data sets, contenders in processes of their own, and what they cost."""
