"""Recipes: methods with all settings that reproduce their checkpoints."""
