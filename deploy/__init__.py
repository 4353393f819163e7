"""How cdcd is put to work: the demo, and what operators install."""
