"""How fast our networks are beside those of other papers, measured in one run."""
