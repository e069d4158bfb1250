"""Makes a training corpus: real speech as it is, and sentences spoken by open voices."""
