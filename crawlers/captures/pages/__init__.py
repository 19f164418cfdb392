"""Pages as their readers saw them: text, images, frames, and the facts that sites state."""
