"""Work on several machines. Only what connects to them imports Ray."""
