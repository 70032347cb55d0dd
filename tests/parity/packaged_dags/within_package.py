"""A module of the package."""

NAME = "packaged"
