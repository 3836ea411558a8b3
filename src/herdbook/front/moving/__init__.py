"""What moves documents: collections that are open, carriers, and whoever drives them."""
