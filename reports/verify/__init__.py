"""The verifier of evidence bundles. It imports the standard library, `cryptography` and itself.

`reports.verify.build` joins the modules into the single file that needs no installation.
"""
