import { expect, test } from "appwright";
import { signIn } from "@screens/sign-in";

test("the theme can be dark", async ({ device }) => {
  await signIn(device);
  await device.getByText("Settings").tap();
  await device.getByText("Theme: light").tap();
  await expect(device.getByText("Theme: dark")).toBeVisible();
});
