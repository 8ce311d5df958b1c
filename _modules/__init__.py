"""Makes the folder of execution modules installable as a package; holds nothing.

Salt's loader skips this file, wherever it finds it.
"""
