"""What quantization did to a model: to each layer, to each class and image, and what would undo it.

The records (`records`, `decision_records`) need no torch; whoever shows an audit reads them. `examine` measures them.
"""
