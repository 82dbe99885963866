"""Recipes: a method with everything that remakes its checkpoint."""
