import { defineConfig, Platform } from "appwright";

export default defineConfig({
  testDir: "./tests",
  use: { expectTimeout: 2_000 },
  projects: [
    {
      name: "android",
      use: {
        platform: Platform.ANDROID,
        device: { provider: "emulator", osVersion: "14" },
        buildPath: "app/shop.apk",
      },
    },
  ],
});
