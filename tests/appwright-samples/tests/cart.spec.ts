import { expect, test } from "appwright";
import { signIn } from "@screens/sign-in";

test("what is added is counted", async ({ device }) => {
  await signIn(device);
  await device.getByText("Backpack").tap();
  await device.getByText("Add to cart").tap();
  await expect(device.getByText("Cart (1)")).toBeVisible();
});
