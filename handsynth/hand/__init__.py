"""Facts about one hand: joints, camera, pose, sample. numpy only."""
