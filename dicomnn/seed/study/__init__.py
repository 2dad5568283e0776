"""The paper's experiment, from a folder of images to a table, a figure and a page. `run` is the walk."""
