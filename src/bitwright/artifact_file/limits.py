"""How large a file may be in each respect, so that refusing it costs little more than its own size. csrc/artifact has the same.

The largest classifiers have some thousands of nodes, each of which takes 650 bytes of the header: these limits are several
times what they need.
"""

MAX_HEADER_BYTES = 2**24
SMALL_HEADER_BYTES = 2**20
"""In longer ones nothing beyond ASCII may be escaped by its number: it takes Python four bytes a character."""
MAX_PART = 2**18
"""Of JSON that is built at once, such as a node or the provenance: it has fewer bytes."""
MAX_DEPTH = 200
"""Of a document: what lies in so many lists and objects, or more, is refused."""
MAX_KEYS = 2**17
"""Of an object."""
MAX_NODES = 10_000
MAX_TENSORS = 50_000
MAX_INPUTS = 2**18
"""Of all nodes together."""
MAX_CLASSES = 2**17
MAX_RANK = 8
