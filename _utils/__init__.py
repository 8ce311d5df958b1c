"""Makes the folder of utilities installable as a package; holds nothing.

Salt's loader skips this file, wherever it finds it.
"""
