"""Vector indexes over the catalogue, behind one seam."""
