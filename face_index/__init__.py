"""Who may be looked for, and finding them. The only package that holds biometrics."""
