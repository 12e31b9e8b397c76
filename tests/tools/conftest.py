from tests.bundles import tiny_bundle

__all__ = ["tiny_bundle"]
