"""The paper that started dicomnn, rebuilt to be measured: a plain autoencoder for pictures. Benchmark only.

    codec/   network, coded bytes, the triple original / latent / decompressed: what a page may show
    study/   images, training, comparison, table, figure: what `dicomnn seed` does

Nothing that codes for an archive imports this package (`.importlinter`), and its streams and models are of
formats that neither payloads nor the shelf know. docs/seed.md has what came of it.
"""
