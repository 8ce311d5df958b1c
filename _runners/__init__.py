"""Makes the folder of runners installable as a package; holds nothing.

Salt's loader skips this file, wherever it finds it.
"""
