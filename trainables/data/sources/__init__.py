"""Sources of images and feature vectors (files, folders, tables, downloads) and the cache of decoded images."""
