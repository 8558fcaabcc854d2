"""`peftcost bench`: methods x tasks x models x seeds, and one report that compares them."""
