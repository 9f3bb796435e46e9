"""From the pictures of a browser without H.264 to access units: coded picture → decoder → x264 → access unit."""
